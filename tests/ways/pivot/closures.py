"""A little closure with pivot points, and what they can be pivoted to."""

from __future__ import annotations

from dataclasses import dataclass

from graft.formats.store_path import StorePath
from graft.plan.closure import Closure
from graft.store.local import LocalStore
from graft.ways.pivot.pivots import Pivots
from tests.store_objects import add_object
from tests.ways.pivot.test_points import marked


@dataclass(frozen=True)
class Pivotable:
    """cacert, tzdata <- curl (both types), clock (tzdata) <- system; and two newer packages."""

    store: LocalStore
    cacert: StorePath
    tzdata: StorePath
    curl: StorePath
    clock: StorePath
    system: StorePath
    new_cacert: StorePath
    new_tzdata: StorePath

    @classmethod
    def build(cls, store: LocalStore) -> Pivotable:
        bundle = {"etc": {"ssl": {"certs": {"ca-bundle.crt": b"certificates\n"}}}}
        zones = {"share": {"zoneinfo": {"UTC": b"TZif"}}}
        cacert = add_object(store, "nss-cacert-3.98", bundle)
        tzdata = add_object(store, "tzdata-2024a", zones)
        curl = add_object(store, "curl-8.5.0", marked("cacert", "tzdata"), [cacert, tzdata])
        clock = add_object(store, "clock-1.0", marked("tzdata"), [tzdata])
        return cls(
            store=store,
            cacert=cacert,
            tzdata=tzdata,
            curl=curl,
            clock=clock,
            system=add_object(store, "system", {"bin": {}}, [curl, clock]),
            new_cacert=add_object(store, "nss-cacert-3.99", bundle),
            new_tzdata=add_object(store, "tzdata-2026f", zones),
        )

    @property
    def targets(self) -> dict[str, str]:
        """The newer packages, by type."""
        return {"cacert": self.full(self.new_cacert), "tzdata": self.full(self.new_tzdata)}

    def full(self, path: StorePath) -> str:
        return self.store.store_dir.path(path)

    def pivots(self, targets: dict[str, str] | None = None) -> Pivots:
        closure = Closure.of(self.store, [self.system])
        return Pivots.of(self.store, closure, self.system, targets or self.targets)
