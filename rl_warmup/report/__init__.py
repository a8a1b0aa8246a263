"""Verdicts in words, tables, figures and pages: from an analysis to report.json, .html, .md and .tex."""
