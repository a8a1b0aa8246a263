"""wandb-workspaces, without the warnings of its import; ImportError without the extra `dashboard`."""

import warnings
from importlib import import_module
from typing import Any

from rl_warmup.tracking.client import api

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "Pydantic V1 style `@validator`", DeprecationWarning)
    # It types nothing that it exports.
    wr: Any = import_module("wandb_workspaces.reports.v2")
    ws: Any = import_module("wandb_workspaces.workspaces")
    expr: Any = import_module("wandb_workspaces.expr")


def view_at(identity: str) -> dict[str, Any] | None:
    """A workspace or report at W&B, or None if it is not there. Raises what the client raises."""
    from wandb_workspaces._graphql import execute_graphql
    from wandb_workspaces.reports.v2.gql import view_report

    found: dict[str, Any] | None = execute_graphql(api(), view_report, {"reportId": identity})["view"]
    return found
