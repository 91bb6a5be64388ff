"""A fork server as its daemon sees it, and the runners that it forks."""
