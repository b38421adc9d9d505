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
 * frame outside the standard library, or the innermost where there is none. A whole stack has no lines yet.
 */
void origin_walk(struct pyaudit_event *event, struct encode_text *text, unsigned n_wanted);

/* Fills in the lines of a stack that origin_walk made: pyaudit_event.lines. To be called while the event is judged or
 * told, when the same frames still stand there. */
void origin_lines(struct pyaudit_event *event);

/* The packages of one frame, by its file: pyaudit_event.packages. Learns of directories that were added
 * to sys.path where this thread may look at Python; in a child between fork and exec it may not. */
void origin_packages(struct pyaudit_origin *frame);

/* Looks at sys.path, for those who cannot later on. */
void origin_know_path(void);

#endif
