/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which installed distribution a file of Python code belongs to: what `pip list` names, not what is
 * imported. The tables are made in the process itself, by reading the directory that the code was
 * installed to: no daemon has to be there, and a container's or a user's own packages are found.
 *
 * A directory is read once, when first asked about a file in it; that may take milliseconds. From
 * then on an answer is a few hashes and no system call, but for files that belong to nothing: for
 * these it is looked, twenty times a second at most, whether something was installed meanwhile.
 *
 * Nothing is locked: two threads that ask first both read, and one of the tables is let go. Tables
 * stay mapped to the end of the process, and so do the names given out. libc only; system calls
 * and memory of its own, so that it may be called in a child between fork and exec.
 */
#ifndef AGENT_PACKAGES_H
#define AGENT_PACKAGES_H

#include "event.h"

/* Distributions that claim one file. */
#define PACKAGES_OWNERS_MAX 8
/* Directories with packages, in one process. */
#define PACKAGES_ROOTS_MAX 64
#define PACKAGES_ROOT_MAX 512
/* Of one directory. What is beyond belongs to nothing. */
#define PACKAGES_DISTS_MAX 4096
#define PACKAGES_KEYS_MAX 65536 /* directories with code, and files where one is shared */
#define PACKAGES_SHARED_MAX 512 /* sets of distributions that share something */
#define PACKAGES_EDITABLE_MAX 256
#define PACKAGES_RECORD_MAX (4u << 20) /* bytes of one RECORD */
/* Entries that are looked at of a directory that is not named site-packages or dist-packages. */
#define PACKAGES_ENTRIES_MAX 4096
/* Times one directory is read anew. */
#define PACKAGES_READ_MAX 64

/* A directory of sys.path: packages may be in it, or links to source trees. */
void packages_know(const char *dir, size_t len);

/* How many distributions the file belongs to, and their names, which stay: of the package index in
 * their normal form (PyYAML is pyyaml, zope.interface is zope-interface). @path is absolute. */
unsigned packages_of(const char *path, size_t len, const struct pyaudit_value **ret_names);

#endif
