/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Units with a profile of their own: a drop-in of pyauditd.conf with one line of unit_profile for
 * each. Nothing here writes.
 */
#ifndef CTL_UNIT_PROFILE_H
#define CTL_UNIT_PROFILE_H

#include "unit.h"

#define UNIT_PROFILE_DIRECTORY "/etc/pyaudit/pyauditd.conf.d"

/* Where the drop-in of the unit is or would be. False, with a sentence in @why: its name is too
 * long. */
bool unit_profile_path(char ret[PATH_MAX], const char *root, const char *unit,
		       char why[UNIT_WHY_MAX]);
/* The unit of a file of that directory, or false. */
bool unit_profile_unit(char ret[UNIT_NAME_MAX + 1], const char *file_name);
/* The drop-in's text. A template stands for its instances. */
void unit_profile_text(struct buf *ret, const char *profile, const char *unit);
/* Whether a daemon could take such a line. False, with a sentence in @why: its settings have
 * mistakes, or do without the shipped rules. */
bool unit_profile_is_possible(const char *root, const char *profile, char why[UNIT_WHY_MAX]);
/* Has a daemon that runs read its settings and rules again. False: it refused, and @why has its
 * first reason. *ret_runs says whether there was one. */
bool unit_profile_reload(bool *ret_runs, char why[UNIT_WHY_MAX]);

#endif
