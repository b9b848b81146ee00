"""Do the programs of a closure still fit the libraries they will load after a graft?"""

from graft.check.abi.breaks import AbiCheck, Break
from graft.check.abi.check import check_abi
from graft.check.abi.forecast import forecast_abi
from graft.check.abi.store_contents import StoreContents

__all__ = [
    "AbiCheck",
    "Break",
    "StoreContents",
    "check_abi",
    "forecast_abi",
]
