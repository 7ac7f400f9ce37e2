"""The report of runs: what they hold and do, gathered as plain values, and a page that shows them.

``report_data`` gathers, ``render_page`` puts the values into one HTML file with its style and
script (``page/``); the browser draws. Nothing in the page comes from a network.
"""
