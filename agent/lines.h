/* SPDX-License-Identifier: Apache-2.0 */
/* Line numbers of frames, remembered. */
#ifndef AGENT_LINES_H
#define AGENT_LINES_H

#include "python.h"

/* The line that @frame, which runs @code, stands at, as Python gives it; 0 where it has none. */
uint32_t line_of(PyObject *frame, PyObject *code);

#endif
