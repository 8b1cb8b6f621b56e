"""Objects behind URLs that are not files of this machine: read in ranges, listed, written; each engine is one file.

    http      http, https: vdata's own client
    cloud     s3, gs, az through obstore
              (access: its stores, and where credentials come from; answer, connection, rooms: http's lower floors)
    anything  all other schemes, and where obstore is not installed: through fsspec

Every engine has the same six functions (see `vdata.remote.engine`) and the same manners: what may pass is tried again, with jitter and
within a budget (`vdata.remote.patience`); what will not pass raises at once, a RemoteError that names the URL without
its secrets. Two versions of an object are never spliced.
"""
