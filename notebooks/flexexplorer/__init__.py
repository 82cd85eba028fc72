"""The explorer: what was recorded, and controls that train.

`recorded` reads records. `runs` and `settings` have their data in the page, where scripts draw them; `figures` draws
for readers without scripts. `live` trains, `together` is how, and `trained` shows the outcome with `pictures`.
`background` keeps the page awake. `page` is what they share.
"""
