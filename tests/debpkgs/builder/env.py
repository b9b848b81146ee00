"""A symlink farm: a directory of one package becomes one link, a shared one is opened."""

import os


def link_tree(sources: list[str], target: str, top: bool) -> None:
    """Links into `target` what the directories `sources` hold; earlier ones win."""
    candidates: dict[str, list[str]] = {}
    for source in sources:
        for name in sorted(os.listdir(source)):
            if not (top and name == "nix-support"):
                candidates.setdefault(name, []).append(os.path.join(source, name))
    for name, found in sorted(candidates.items()):
        place = os.path.join(target, name)
        if len(found) > 1 and all(os.path.isdir(path) for path in found):
            os.mkdir(place)
            link_tree(found, place, top=False)
        else:
            os.symlink(found[0], place)


def main() -> None:
    """Builds $out from $paths, as a Nix builder."""
    attributes = os.environ  # a derivation's attributes are its builder's environment
    out, paths = attributes["out"], attributes["paths"].split()
    os.makedirs(out)
    link_tree(paths, out, top=True)
    os.makedirs(f"{out}/nix-support", exist_ok=True)
    # sorted by store path, like nixpkgs' manifests: a graft can not put it in the rebuilt order
    with open(f"{out}/manifest", "w") as manifest:
        manifest.write("\n".join(sorted(paths)) + "\n")


if __name__ == "__main__":
    main()
