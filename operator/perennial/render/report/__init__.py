"""The drift report: one HTML page that loads nothing from anywhere, and the ConfigMap that keeps the newest."""

from perennial.render.report.kept import About, about, manifest
from perennial.render.report.page import render

__all__ = ["About", "about", "manifest", "render"]
