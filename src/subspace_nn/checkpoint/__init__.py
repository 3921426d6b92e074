"""From files to subspaces: loading, folders and hubs, export."""
