# SPDX-License-Identifier: MIT
"""What the Python verbs of shmbench share: reading run folders, statistics, drawing."""
