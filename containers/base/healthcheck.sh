#!/bin/sh
# Health checks written for the platform's images call this path.
exec dioptra-worker health "$@"
