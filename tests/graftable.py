"""A little closure with a library deep in it, in a store of graft's own writer."""

from __future__ import annotations

from dataclasses import dataclass

from graft.formats.store_path import StorePath
from graft.store.local import LocalStore
from tests.store_objects import add_object


@dataclass(frozen=True)
class Graftable:
    """lib <- app <- env, with a data package beside that does not refer to lib."""

    store: LocalStore
    old: StorePath
    new: StorePath
    data: StorePath
    app: StorePath
    env: StorePath

    @classmethod
    def build(cls, store: LocalStore) -> Graftable:
        full = store.store_dir.path
        old = add_object(store, "lib-1.0", {"lib": b"old\n", "self": "{self}/lib"})
        new = add_object(store, "lib-1.1", {"lib": b"new\n", "self": "{self}/lib"})
        data = add_object(store, "data-1", {"big": bytes(300_000)})
        app = add_object(
            store,
            "app-1",
            {
                "bin": {"run": f"#!/bin/sh\ncat {full(old)}/lib {full(old)}/self\n".encode()},
                "share": {"unchanged": b"same\n", "own": b"{self}/bin\n"},
                "lib": full(old),
            },
            [old, data],
        )
        env = add_object(store, "env-1", {"bin": f"{full(app)}/bin"}, [app])
        return cls(store=store, old=old, new=new, data=data, app=app, env=env)

    def tree(self, path: StorePath) -> str:
        return self.store.tree(path)
