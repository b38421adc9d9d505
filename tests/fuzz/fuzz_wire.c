/* SPDX-License-Identifier: Apache-2.0 */
/* Packets of the agent socket: any bytes give a frame with a payload within them, or an error. */
#include <assert.h>
#include <string.h>

#include "frame.h"
#include "process.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct users users;
	struct process *process;
	struct frame frame;
	struct hello hello;

	if (frame_parse(&frame, data, size) < 0)
		return 0;
	assert(frame.payload >= data && frame.payload + frame.length == data + size);
	if (frame.type != PYAUDIT_FRAME_HELLO ||
	    hello_parse(&hello, frame.payload, frame.length) < 0)
		return 0;
	process = process_new(&hello, 1, hello.uid, hello.gid, NULL, &users);
	assert(process != NULL && process->n_argv == hello.n_argv);
	process_unref(process);
	return 0;
}
