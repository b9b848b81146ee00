# Small packages of our own: two pivot-aware programs, and a script that calls others by path.
{ bash, coreutils, tzdata, cacert, glibc }:
let
  run = name: inputs: script: derivation (inputs // {
    inherit name;
    system = "x86_64-linux";
    builder = "/bin/sh";
    args = [ "-c" "PATH=/usr/bin:/bin; set -e; mkdir -p $out/bin; ${script}" ];
  });
in rec {
  pivottz = run "pivot-tz-1.0" { inherit tzdata glibc; } ''
    mkdir -p $out/nix-support/pivots
    gcc -O1 -s -Wl,--build-id=none -DOUT="\"$out\"" -DTZ="\"$tzdata/share/zoneinfo\"" \
      -o $out/bin/pivot-tz ${./pivot-tz.c}
    lib=$glibc/lib/x86_64-linux-gnu
    patchelf --set-interpreter $lib/ld-linux-x86-64.so.2 --set-rpath $lib $out/bin/pivot-tz
    echo $tzdata > $out/nix-support/pivots/tzdata
  '';
  pivotca = run "pivot-ca-1.0" { inherit cacert bash coreutils; } ''
    mkdir -p $out/nix-support/pivots
    : > $out/nix-support/pivots/cacert
    cat > $out/bin/pivot-ca <<END
    #!$bash/bin/bash
    IFS=:
    for d in \$NIXPKGS_PIVOT_DIRS; do
      if [ -e "\$d/''${out##*/}/cacert" ]; then
        echo "pivot \$d/''${out##*/}/cacert"
        exit 0
      fi
    done
    echo "builtin $cacert/etc/ssl/certs/ca-certificates.crt"
    END
    chmod +x $out/bin/pivot-ca
  '';
  tool = run "tool-1.0" { inherit bash coreutils pivottz pivotca; } ''
    printf '#!%s/bin/bash\n%s/bin/uname -s\n%s/bin/pivot-tz\n%s/bin/pivot-ca\n' \
      $bash $coreutils $pivottz $pivotca > $out/bin/tool
    chmod +x $out/bin/tool
  '';
  all = [ pivottz pivotca tool ];
}
