# A NixOS machine grafts the system it runs, switches to the result, and goes back.
#
#     nix-build tests/nixos/activation.nix
#
# needs nixpkgs, KVM and what builds a NixOS; `make test` does without all three.
{
  pkgs ? import <nixpkgs> { },
}:
let
  graft = pkgs.python3Packages.buildPythonApplication {
    pname = "nix-graft";
    version = "0.1.0";
    pyproject = true;
    src = pkgs.lib.cleanSource ../..;
    build-system = [ pkgs.python3Packages.setuptools ];
    dependencies = with pkgs.python3Packages; [
      backports-zstd
      click
      cryptography
      jinja2
      lz4
      networkx
      rich
      tqdm
      urllib3
      xxhash
    ];
    doCheck = false;
  };

  # Of one name, so that no alias is in between.
  greeting =
    text:
    pkgs.runCommand "greeting-1.0" { } ''
      mkdir $out
      echo ${text} > $out/text
    '';
  old = greeting "old";
  new = greeting "new";
in
pkgs.testers.runNixOSTest {
  name = "graft-activation";

  nodes.machine = {
    environment.systemPackages = [ graft ];
    system.switch.enable = true;
    virtualisation.writableStore = true;
    virtualisation.additionalPaths = [ new ];
    systemd.services.greeter = {
      wantedBy = [ "multi-user.target" ];
      script = ''
        cat ${old}/text > /run/greeting
        cd ${old}
        exec sleep infinity
      '';
    };
  };

  testScript = ''
    import json

    machine.wait_for_unit("greeter.service")
    assert machine.succeed("cat /run/greeting").strip() == "old"
    original = machine.succeed("readlink -f /run/current-system").strip()
    profile = "/nix/var/nix/profiles/system"
    machine.succeed(f"nix-env -p {profile} --set {original}")
    graft = "graft apply /run/current-system --replace ${old}=${new}"

    with subtest("what would be done is shown, and not done"):
        shown = machine.succeed(f"{graft} --activate dry-activate 2>&1")
        assert "greeter.service" in shown, shown
        assert machine.succeed("readlink -f /run/current-system").strip() == original

    with subtest("the grafted system is switched to, in a unit of its own"):
        out = machine.succeed(f"{graft} --activate switch --note CVE-2026-0001 --json")
        grafted = list(json.loads(out)["new_roots"].values())[0]
        assert machine.succeed("readlink -f /run/current-system").strip() == grafted
        assert machine.succeed(f"readlink -f {profile}").strip() == grafted
        machine.wait_until_succeeds("grep new /run/greeting")
        machine.succeed("graft status greeting")

    with subtest("nothing runs OLD any more"):
        assert json.loads(out)["activation"]["remainders"] == [], out

    with subtest("a rollback is noticed"):
        machine.succeed(f"graft profile rollback {profile}")
        machine.succeed(f"{profile}/bin/switch-to-configuration switch")
        machine.wait_until_succeeds("grep old /run/greeting")
        machine.fail("graft status greeting")

    with subtest("taken back, the collector frees it"):
        machine.succeed("graft ungraft greeting")
        machine.succeed("nix-store --gc")
        machine.fail(f"test -e {grafted}")
        machine.succeed(f"test -e {original}")
  '';
}
