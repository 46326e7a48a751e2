"""Benchmarks: run by hand, or all together by ``make bench``; never collected as tests."""
