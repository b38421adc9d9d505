/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /etc/ld.so.preload: the line that puts the agent into every program of the host. A mistake in that
 * file is felt by each of them, so nothing is written before the library has been tried.
 */
#ifndef CTL_PRELOAD_H
#define CTL_PRELOAD_H

#include <limits.h>
#include <stdbool.h>

#include "buf.h"

#define PRELOAD_PATH "/etc/ld.so.preload"
#define PRELOAD_LIBRARY "libpyaudit-agent.so"
#define PRELOAD_WHY_MAX (PATH_MAX + 512)

/* Whether the dynamic linker can be given this path in a list. */
bool preload_can_name(const char *library, char why[PRELOAD_WHY_MAX]);

/* Only root, or this user, may be able to change @library (below @root), or any directory it stands
 * in: whoever can, owns every program that loads it. */
bool preload_is_safe(const char *root, const char *library, char why[PRELOAD_WHY_MAX]);

/* Runs ordinary programs with @library preloaded; each must do what it does without. */
bool preload_is_sound(const char *library, char why[PRELOAD_WHY_MAX]);

/* Whether programs started now have a library of ours, and run. */
bool preload_took_effect(const char *library, char why[PRELOAD_WHY_MAX]);

/* @text of the file with @library (no others of ours) in it, or with none of ours where it is NULL.
 * Other entries and comments stay as they are. True: that is different from @text. */
bool preload_edit(struct buf *ret, const char *text, const char *library);

#endif
