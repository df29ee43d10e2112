"""``make demo``: the main job on the embedded sandbox, shown as a billing person sees it."""
