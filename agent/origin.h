/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where in the Python code an event comes from: file, line, function and module of frames, by
 * functions that are stable over the versions and never run the program's code.
 */
#ifndef AGENT_ORIGIN_H
#define AGENT_ORIGIN_H

#include "encode.h"

/*
 * Fills event->frames, n_frames and caller. With @n_wanted 1 only the caller is kept (frame 0),
 * else the whole stack, innermost first, at most PYAUDIT_STACK_MAX. The caller is the innermost
 * frame outside the standard library, or the innermost where there is none.
 */
void origin_walk(struct pyaudit_event *event, struct encode_text *text, unsigned n_wanted);

#endif
