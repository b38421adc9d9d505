/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A systemd unit and the drop-in that puts the agent into it. What the unit's own files say is read
 * as systemd reads them, as far as it matters here: the environment (another LD_PRELOAD must not
 * be lost), a root directory of its own, the address families it may use. Nothing asks a running
 * systemd, so that the trees of images can be set up alike.
 */
#ifndef CTL_UNIT_H
#define CTL_UNIT_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "buf.h"

#define UNIT_NAME_MAX 255
#define UNIT_WHY_MAX (PATH_MAX + 512)
#define UNIT_FILES_MAX 128 /* drop-ins of one unit */
#define UNIT_DROPIN "50-pyaudit.conf"
/* How every drop-in of ours begins: by this it is known. */
#define UNIT_MARK "# Made by pyauditctl enable; pyauditctl disable takes it away.\n"

struct unit_scope {
	const char *root; /* "" or a directory in the place of / */
	bool user;        /* units of the user's manager */
};

struct unit_options {
	const char *agent; /* path of the library, as the unit sees it */
	bool observe;
};

/* "app" and "app@" are given their suffix. False, with a sentence in @why, for what is no name of
 * a service. */
bool unit_name(char ret[UNIT_NAME_MAX + 1], const char *word, char why[UNIT_WHY_MAX]);

/* Where its drop-in is or would be. False, with a sentence in @why, where there is no home. */
bool unit_dropin_path(char ret[PATH_MAX], const struct unit_scope *scope, const char *name,
		      char why[UNIT_WHY_MAX]);
/* The directory that holds the directories of drop-ins. */
bool unit_dropin_directory(char ret[PATH_MAX], const struct unit_scope *scope,
			   char why[UNIT_WHY_MAX]);

/* The drop-in's text. False, with a sentence in @why: there is no such unit, it is masked, or
 * something in its files would keep the agent out all the same. */
bool unit_dropin_text(struct buf *ret, const struct unit_scope *scope,
		      const struct unit_options *options, const char *name,
		      char why[UNIT_WHY_MAX]);

#endif
