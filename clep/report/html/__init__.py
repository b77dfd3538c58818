"""Pages of HTML, each one file that needs nothing else: no network, no other file, and JavaScript only to sort."""

from clep.report.html.comparison import comparison_page
from clep.report.html.run import run_page

__all__ = ["comparison_page", "run_page"]
