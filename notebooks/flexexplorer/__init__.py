"""The explorer: controls over recorded runs, and controls that train.

`recorded` and `figures` show recorded runs; `page` has the controls over them, which need no kernel. `live` trains, and
`trained` shows what it has trained. `pictures` draws for both, and `background` keeps the page awake.
"""
