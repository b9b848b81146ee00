"""Do the programs of a closure still fit the libraries they will load after a graft?"""

from graft.check.abi.breaks import AbiCheck, Break
from graft.check.abi.check import check_abi
from graft.check.abi.forecast import forecast_abi
from graft.check.abi.missing_libraries import Unresolved, unresolved
from graft.check.abi.report import check_reporting, write_report
from graft.check.abi.store_contents import StoreContents

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
