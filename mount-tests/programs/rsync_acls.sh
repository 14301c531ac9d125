#!/usr/bin/env bash
# As rsync.sh, with ACLs. Needs rsync, attr and acl.
WITH_ACLS=yes source "$(dirname "$0")/rsync.sh"
