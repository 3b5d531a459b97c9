"""How a run is shown: terminal, page, picture, files. Renders; decides nothing."""
