# One derivation out of .debs: `debs` holds "<output>=<file>", `deps` what it may refer to.
{ pname, name, outputs, debs, deps }:
derivation {
  inherit pname name outputs debs deps;
  system = "x86_64-linux";
  builder = "/bin/sh";
  args = [ ./builder.sh ];
  sources = ./sources;
}
