"""Do the programs of a closure still fit the libraries they will load after a graft?"""

from graft.abi.breaks import AbiCheck, Break
from graft.abi.check import check_abi
from graft.abi.contents import StoreContents
from graft.abi.forecast import forecast_abi
from graft.abi.report import check_reporting, write_report
from graft.abi.resolution import Unresolved, unresolved

__all__ = [
    "AbiCheck",
    "Break",
    "StoreContents",
    "Unresolved",
    "check_abi",
    "check_reporting",
    "forecast_abi",
    "unresolved",
    "write_report",
]
