"""Whose state is in memory that is used in turn."""

from __future__ import annotations

import weakref
from typing import Protocol


class Tenant(Protocol):
    """One whose state may be in the memory."""

    def save(self) -> None:
        """Copies its state out of the memory, which is about to be overwritten."""
        ...


class Tenancy:
    """Knows whose state is in memory that signatures of a file share, so that it is saved before another one is there.

    It is used under the lock of the memory. A tenant that nobody holds any more loses its state.
    """

    def __init__(self) -> None:
        self._tenant: weakref.ref[Tenant] | None = None

    def take(self, tenant: Tenant | None) -> bool:
        """Gives the memory to a tenant; None: to a call whose state nobody needs.

        Returns:
            whether the memory was the tenant's already, so that its state is in it.
        """
        before = None if self._tenant is None else self._tenant()
        if before is not None and before is tenant:
            return True
        if before is not None:
            before.save()
        self._tenant = None if tenant is None else weakref.ref(tenant)
        return False
