/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From values that were seen to patterns that stand for their like: versions, temporary names,
 * process ids, dates and other numbers become wildcards, and directories with many different
 * entries are taken whole. Nothing is generalised that has no such part: a name stays a name.
 */
#ifndef LIB_GENERALISE_H
#define LIB_GENERALISE_H

#include "buf.h"

#define GENERALISE_CHILDREN_MAX 6 /* entries of one directory that are told one by one */

/* A growing set of texts; each is kept once. */
struct texts {
	char **texts;
	size_t n, size;
	bool is_sorted;
};

void texts_fini(struct texts *texts);
/* 0 or -ENOMEM. Texts with NULs are cut there. */
int texts_add(struct texts *texts, const char *text, size_t len);
/* Sorted, each once. */
void texts_sort(struct texts *texts);

struct path_patterns {
	struct texts exact, globs, under;
};

void path_patterns_fini(struct path_patterns *patterns);
/* The set as few patterns; empty it is none. 0 or -ENOMEM. */
int generalise_paths(struct path_patterns *ret, struct texts *paths);
/* One component of a path as a glob. Whether it has a wildcard. */
bool generalise_component(struct buf *out, const char *s, size_t len);
/* A shell command as a regular expression: numbers and temporary names vary, nothing else. Whether
 * it does. */
bool generalise_command(struct buf *out, const char *s, size_t len);

struct host_patterns {
	struct texts exact, suffixes, networks;
};

void host_patterns_fini(struct host_patterns *patterns);
int generalise_hosts(struct host_patterns *ret, struct texts *hosts);

#endif
