"""Campaigns: many repositories rewritten, each as a whole or not at all. See docs/migrate.md.

NOTE: how a repository is migrated. One commit of it is fetched into a folder of its own, so neither
the user's checkout nor its index is ever touched. `gradfix apply` runs there in a process of its
own. What it changed is written down as a git tree at once, before any test may leave files behind.
The tests run; only then is the tree delivered, in one step: a branch that comes into being, or a
patch file that is moved into its place. What is about to be delivered is in the campaign's state
first, so a campaign that was killed knows a branch of its own when it meets it.
"""
