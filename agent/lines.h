/* SPDX-License-Identifier: Apache-2.0 */
/* Line numbers of frames, remembered. */
#ifndef AGENT_LINES_H
#define AGENT_LINES_H

#include "python.h"

/* Where it is to stand: zeroed memory of as many bytes as this says, aligned to 64. NULL only asks how many. */
size_t lines_use(void *room);

/* The line that @frame, which runs @code, stands at, as Python gives it; 0 where it has none. */
uint32_t line_of(PyObject *frame, PyObject *code);

#endif
