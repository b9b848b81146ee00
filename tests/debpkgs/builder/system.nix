# The system root: `sw`, `etc`, `activate`.
{ name, path, extra, bash, coreutils, tzdata, cacert }:
derivation {
  inherit name path bash coreutils tzdata cacert;
  inherit (extra) pivottz;
  system = "x86_64-linux";
  builder = "/bin/sh";
  args = [ ./system.sh ];
}
