/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kill switch: what keeps the agent out of a program that starts. Looked at once, where a Python
 * is found, before anything else is done.
 */
#ifndef AGENT_SWITCH_H
#define AGENT_SWITCH_H

#include <stdbool.h>
#include <stddef.h>

/* Whether the agent is to stay out of this process; @dir is the runtime directory. */
bool switch_is_off(const char *dir);

/* Whether "pyaudit=off" is a word of a kernel's command line. */
bool switch_off_in(const char *cmdline, size_t len);
/* The same of this kernel's, at each call. */
bool switch_off_by_kernel(void);

#endif
