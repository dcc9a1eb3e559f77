"""Grafana's dashboards, written by a program: what panels share is said once, and a test asks every query."""
