/* SPDX-License-Identifier: Apache-2.0 */
/* Which fields an event of a name can have, by the table of events (include/pyaudit/events.def). */
#ifndef LIB_EVENT_FIELDS_H
#define LIB_EVENT_FIELDS_H

#include <stdbool.h>

/* Whether the event may have a value for the field. Fields that are made of others go with them; what is not known
 * here, as the number of its arguments, it may have. */
bool event_may_have(unsigned event, unsigned field);

#endif
