"""The report in words, tables and pages: from an analysis to report.json, .html, .md and .tex."""
