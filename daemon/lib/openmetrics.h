/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenMetrics 1.0 text. Counters and gauges alone, without exemplars and timestamps: that much a reader of
 * Prometheus' older text form (the node exporter's textfile collector) takes as well.
 *
 *   openmetrics_family(&om, "pyaudit_agents", "gauge", NULL, "Processes that are watched.");
 *   openmetrics_sample(&om);
 *   openmetrics_label(&om, "version", version);
 *   openmetrics_uint(&om, n);
 *   openmetrics_end(&om);
 */
#ifndef LIB_OPENMETRICS_H
#define LIB_OPENMETRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"

#define OPENMETRICS_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"
#define OPENMETRICS_LABEL_MAX 256 /* bytes of a label's value that are shown */

struct openmetrics {
	struct buf *out;
	const char *family;
	bool is_counter;
	bool has_labels; /* of the sample that was begun */
};

/* Begins a family: its samples follow, and no others. @family is without _total; @unit NULL: none, else the name
 * ends with it. */
void openmetrics_family(struct openmetrics *om, const char *family, const char *type, const char *unit,
			const char *help);
/* A sample: its labels, if any, then its value. */
void openmetrics_sample(struct openmetrics *om);
/* @value may be a peer's: invalid UTF-8 and control characters are replaced. */
void openmetrics_label(struct openmetrics *om, const char *name, const char *value);
void openmetrics_uint(struct openmetrics *om, uint64_t value);
/* Nanoseconds as seconds. */
void openmetrics_seconds(struct openmetrics *om, uint64_t ns);
void openmetrics_end(struct openmetrics *om);

#endif
