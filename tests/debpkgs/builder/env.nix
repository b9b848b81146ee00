# buildEnv: one directory with what all of `paths` hold.
{ name, paths }:
derivation {
  inherit name paths;
  system = "x86_64-linux";
  builder = "/bin/sh";
  args = [ "-c" "exec /usr/bin/python3 -S -E ${./env.py}" ];
}
