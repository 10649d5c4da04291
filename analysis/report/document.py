"""A report that shows itself in a notebook and writes itself to a folder: the data with its renderings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.errors import ConfigurationError
from analysis.report.display import report_html
from analysis.report.model import ReportData

__all__ = ["Report"]


@dataclass(frozen=True, repr=False)
class Report(ReportData):
    __doc__ = ReportData.__doc__

    def _repr_html_(self) -> str:
        return report_html(self)

    def save(
        self,
        folder: str | Path,
        *,
        audio: bool = True,
        venue: str = "acl",
        formats: Sequence[str] = ("png", "svg", "pdf"),
    ) -> Path:
        """Write every rendering into ``folder``; returns the folder.

        Parameters
        ----------
        folder : str or Path
            Made where it does not exist. ``report.html`` there is the page.
        audio : bool
            Put the recordings into the page, so that a click plays a syllable.
        venue, formats : str, sequence of str
            Column width and file types of the figures, as :func:`analysis.report.write_report` takes them.

        Raises
        ------
        ConfigurationError
            If the folder cannot be written to, or the venue or a format is unknown.

        Examples
        --------
        >>> analysis.run(corpus="demo").save("reports/mine")  # doctest: +SKIP
        """
        from analysis.report.write import write_report

        if not isinstance(folder, str | Path):
            raise ConfigurationError(f"save: folder is a {type(folder).__name__}; give a path.")
        try:
            write_report(self, Path(folder), audio=audio, venue=venue, formats=formats)
        except OSError as error:
            raise ConfigurationError(f"save: folder {folder} cannot be written to: {error.strerror}. Choose another.") from error
        return Path(folder)
