"""The Jobs tab: a small page on this machine, rendered here, without a build step.

`server` speaks HTTP and keeps strangers out, `routes` answers, the other modules make
HTML: `job` all about one job, `chosen` what is done with several, `drawing` pictures.
Whatever comes from outside goes through `html.fill`, which escapes it.
"""
