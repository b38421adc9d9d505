/* SPDX-License-Identifier: Apache-2.0 */
#include "activations.h"

#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "cleanup.h"
#include "place.h"

void
activations_note(const char *dir, bool is_activated)
{
	CLEANUP(freep) char *text = NULL;
	char parent[] = ACTIVATIONS_PATH, *save = NULL;
	struct buf lines;

	if (geteuid() != 0 || strchr(dir, '\n') != NULL)
		return;
	(void)place_read(ACTIVATIONS_PATH, &text, NULL);
	buf_init(&lines);
	for (char *line = text != NULL ? strtok_r(text, "\n", &save) : NULL; line != NULL;
	     line = strtok_r(NULL, "\n", &save))
		if (strcmp(line, dir) != 0) {
			buf_add_str(&lines, line);
			buf_add_char(&lines, '\n');
		}
	if (is_activated) {
		buf_add_str(&lines, dir);
		buf_add_char(&lines, '\n');
	}
	if (lines.len > 0 && !lines.failed && place_make_parents(ACTIVATIONS_PATH) == 0) {
		(void)place_write(ACTIVATIONS_PATH, lines.data, lines.len, 0644);
	} else if (lines.len == 0 && unlink(ACTIVATIONS_PATH) == 0) {
		(void)rmdir(dirname(parent)); /* stays where something else is in it */
	}
	buf_fini(&lines);
}
