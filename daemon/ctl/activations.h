/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directories that root's `pyauditctl activate` wrote to, one a line, so that whoever removes the package
 * finds the files in virtual environments too. What cannot be noted is not: it is a convenience.
 */
#ifndef CTL_ACTIVATIONS_H
#define CTL_ACTIVATIONS_H

#include <stdbool.h>

#define ACTIVATIONS_PATH "/var/lib/pyaudit/activated"

void activations_note(const char *dir, bool is_activated);

#endif
