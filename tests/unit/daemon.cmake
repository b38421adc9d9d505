# SPDX-License-Identifier: Apache-2.0
set(PYAUDIT_UNIT_DAEMON buf json conf frame request recent process report sink drain)
# The consumer is tested against the agent's own producer.
set(PYAUDIT_UNIT_drain_SOURCES ${CMAKE_SOURCE_DIR}/agent/ring.c)
