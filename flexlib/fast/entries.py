"""Sparse rows on the device: the entries of a matrix by row, and products with a batch of them.

On a CPU with MKL, products visit the entries alone; elsewhere, a batch becomes a dense matrix first.
"""

import itertools
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from flexlib.data import AnyIds, Stars

with warnings.catch_warnings():  # PyTorch says once in a process that its sparse row format is in beta state
    warnings.simplefilter("ignore", UserWarning)
    torch.sparse_csr_tensor([0, 0], [], [], (1, 1))

ENTRIES_AT_ONCE = 4_000_000  # that are laid out for the next batches: about 200 MB


def has_sparse_products(device: str) -> bool:
    """Say whether products can visit entries alone: without MKL, PyTorch has no such product on a CPU."""
    return device == "cpu" and torch.backends.mkl.is_available()  # type: ignore[no-untyped-call]


class Entries:
    """The k observed cells of a batch, an (n_rows, width) matrix that is 0 elsewhere, for products with their values.

    Parameters
    ----------
    cells
        (k,) flat places, row by row.
    columns
        (k,) column of each.
    n_rows, width
        Shape of the matrix.

    Attributes
    ----------
    row_ends
        (n_rows + 1,) bounds of each row's entries. Where it is set, products visit the entries alone; where it is
        None, they visit the whole matrix.
    by_column, rows_by_column
        (k,) order of the entries by column, and their rows in that order, for transposed products. Set together with
        `row_ends`, if such products are needed.
    """

    def __init__(self, cells: Tensor, columns: Tensor, n_rows: int, width: int) -> None:
        self.cells, self.columns, self.shape = cells, columns, (n_rows, width)
        self.row_ends: Tensor | None = None
        self.by_column = self.rows_by_column = columns
        self._column_ends: Tensor | None = None

    def pad(self, n_rows: int) -> None:
        """Append empty rows up to `n_rows`."""
        if self.row_ends is not None:
            self.row_ends = torch.cat([self.row_ends, self.row_ends[-1:].expand(n_rows - self.shape[0])])
        self.shape = (n_rows, self.shape[1])

    def select(self, kept: Tensor) -> tuple["Entries", Tensor]:
        """Leave entries out.

        Parameters
        ----------
        kept
            (k,) True for those that stay.

        Returns
        -------
        entries, index
            Those that stay, and their places among all, (n_kept,).
        """
        index = kept.nonzero().squeeze(1)
        part = Entries(self.cells[index], self.columns[index], *self.shape)
        if self.row_ends is not None:
            before = torch.zeros(len(kept) + 1, dtype=torch.int64)
            torch.cumsum(kept, 0, out=before[1:])
            part.row_ends = before[self.row_ends]
            kept_by_column = kept[self.by_column].nonzero().squeeze(1)
            part.by_column = before[self.by_column[kept_by_column]]
            part.rows_by_column = self.rows_by_column[kept_by_column]
        return part, index

    def dense(self, values: Tensor) -> Tensor:
        """Make the (n_rows, width) matrix with these (k,) values."""
        matrix = torch.zeros(self.shape, device=values.device)
        matrix.view(-1)[self.cells] = values
        return matrix

    def row_sums(self, values: Tensor) -> Tensor:
        """Sum these (k,) values by row: (n_rows,)."""
        rows = self.cells.div(self.shape[1], rounding_mode="floor")
        return torch.zeros(self.shape[0], dtype=values.dtype, device=values.device).index_add_(0, rows, values)

    def times(self, values: Tensor, matrix: Tensor) -> Tensor:
        """Multiply the matrix with these (k,) values by `matrix` (width, h): (n_rows, h)."""
        if self.row_ends is None:
            return torch.mm(self.dense(values), matrix)
        product = torch.empty(self.shape[0], matrix.shape[1])
        return torch.addmm(product, self._csr(values), matrix, beta=0, out=product)  # thrice as fast as torch.mm

    def times_transposed(self, values: Tensor, matrix: Tensor, total: Tensor, add: bool = False) -> None:
        """Multiply the transposed matrix with these (k,) values by `matrix` (n_rows, h).

        Parameters
        ----------
        values, matrix
            The factors.
        total
            (width, h) where the product goes.
        add
            Whether it is added to what `total` holds.
        """
        if self.row_ends is None:
            total.addmm_(self.dense(values).t(), matrix, beta=int(add))
            return
        if self._column_ends is None:
            self._column_ends = torch.zeros(self.shape[1] + 1, dtype=torch.int64)
            torch.cumsum(torch.bincount(self.columns, minlength=self.shape[1]), 0, out=self._column_ends[1:])
        parts = self._column_ends, self.rows_by_column, values[self.by_column]
        transposed = torch.sparse_csr_tensor(*parts, self.shape[::-1], check_invariants=False)
        torch.addmm(total, transposed, matrix, beta=int(add), out=total)

    def sample(self, left: Tensor, right: Tensor) -> Tensor:
        """Compute these (k,) cells of the product of `left` (n_rows, h) and `right` (h, width)."""
        if self.row_ends is None:
            return torch.mm(left, right).view(-1)[self.cells]
        sampled: Tensor = torch.sparse.sampled_addmm(self._csr(torch.zeros(len(self.cells))), left, right)
        return sampled.values()

    def _csr(self, values: Tensor) -> Tensor:
        assert self.row_ends is not None
        return torch.sparse_csr_tensor(self.row_ends, self.columns, values, self.shape, check_invariants=False)


class SparseRows(NamedTuple):
    """A batch of rows that a network can be given in place of a dense tensor: places, and (k,) values there."""

    entries: Entries
    values: Tensor

    def __matmul__(self, matrix: Tensor) -> Tensor:
        return self.entries.times(self.values, matrix)

    def sum(self, dim: int) -> Tensor:
        """Sum the values by row, (n_rows,); `dim` is 1, as of a tensor."""
        return self.entries.row_sums(self.values)


class RowTable:
    """Entries of a sparse matrix by row: for any order of rows, their entries in one go.

    Parameters
    ----------
    rows, columns, values
        (k,) entries.
    n_rows
        Of the matrix.
    device
        Where the entries live.
    """

    def __init__(self, rows: AnyIds, columns: AnyIds, values: Stars, n_rows: int, device: str) -> None:
        order = np.argsort(rows, kind="stable")
        self.counts = np.bincount(rows, minlength=n_rows)
        self.starts = torch.from_numpy(np.cumsum(self.counts) - self.counts).to(device)
        self.columns = torch.from_numpy(columns[order].astype(np.int64)).to(device)
        self.values = torch.from_numpy(values[order]).to(device, torch.get_default_dtype())

    def batches(
        self,
        order: NDArray[np.integer[Any]],
        size: int,
        width: int,
        sparse: bool = False,
        transposed: bool = True,
    ) -> Iterator[tuple[Entries, Tensor]]:
        """Cut an order of rows into batches.

        The entries of several batches are laid out at once, so that memory does not grow with the number of batches.

        Parameters
        ----------
        order
            (k,) rows.
        size
            Rows in a batch; the last one may have fewer.
        width
            Columns of the matrix.
        sparse
            Whether products are to visit entries alone (`has_sparse_products`).
        transposed
            Whether transposed products are among them.

        Yields
        ------
        entries, values
            Of each batch.
        """
        ends = np.cumsum(self.counts[order])[size - 1 :: size]  # of full batches
        new_group = np.flatnonzero(np.diff(ends // ENTRIES_AT_ONCE)) + 1
        for part in np.split(order, new_group * size):
            yield from self._lay_out(part, size, width, sparse, transposed)

    def _lay_out(
        self, order: NDArray[np.integer[Any]], size: int, width: int, sparse: bool, transposed: bool
    ) -> Iterator[tuple[Entries, Tensor]]:
        device, counts = self.values.device, self.counts[order]
        ends = np.concatenate([[0], np.cumsum(counts)])
        lengths = torch.from_numpy(counts).to(device)
        total = int(ends[-1])
        shift = self.starts[torch.from_numpy(order).to(device)] - torch.from_numpy(ends[:-1]).to(device)
        at = torch.arange(total, device=device) + torch.repeat_interleave(shift, lengths, output_size=total)
        places = torch.arange(len(order), device=device)
        rows = torch.repeat_interleave(places, lengths, output_size=total)
        columns, values, local = self.columns[at], self.values[at], rows % size
        by_column = rows_by_column = columns
        if sparse and transposed:
            by_column = torch.sort(rows.div(size, rounding_mode="floor") * width + columns).indices
            rows_by_column = local[by_column]
        row_ends = torch.from_numpy(ends)
        bounds = ends[np.minimum(np.arange(0, len(order) + size, size), len(order))].tolist()
        for batch, (first, last) in enumerate(itertools.pairwise(bounds)):
            n_rows = min(size, len(order) - batch * size)
            cut = slice(first, last)
            entries = Entries(local[cut] * width + columns[cut], columns[cut], n_rows, width)
            if sparse:
                entries.row_ends = row_ends[batch * size : batch * size + n_rows + 1] - first
                entries.by_column, entries.rows_by_column = by_column[cut] - first, rows_by_column[cut]
            yield entries, values[cut]
