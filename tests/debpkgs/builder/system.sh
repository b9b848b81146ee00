set -e
PATH=/usr/bin:/bin
mkdir -p $out/etc/ssl/certs $out/bin $out/nix-support
ln -s $path $out/sw
ln -s $cacert/etc/ssl/certs/ca-certificates.crt $out/etc/ssl/certs/ca-bundle.crt
ln -s $tzdata/share/zoneinfo $out/etc/zoneinfo
cat > $out/etc/profile <<END
export PATH=$path/bin:$coreutils/bin
export TZDIR=$tzdata/share/zoneinfo
export SSL_CERT_FILE=$cacert/etc/ssl/certs/ca-certificates.crt
END
cat > $out/activate <<END
#!$bash/bin/bash
# activation script of $out
set -eu
export PATH=$path/bin:$coreutils/bin
mkdir -p "\${1:-./activated}"
ln -sfn $out "\${1:-./activated}/current-system"
$pivottz/bin/pivot-tz
END
chmod +x $out/activate
echo "$pivottz" > $out/nix-support/propagated-user-env-packages
