/* table.c - finding a table by its name. */
#include "realtime/table.h"

static const tg_str usual_pk[] = {{"id", 2}};

const struct tg_table *tg_table_find(const struct tg_table_list *list, tg_str schema, tg_str name)
{
    for (size_t i = 0; list != NULL && i < list->n; i++) {
        if (tg_str_eq(list->items[i].schema, schema) && tg_str_eq(list->items[i].name, name)) {
            return &list->items[i];
        }
    }
    return NULL;
}

struct tg_table tg_table_of(const struct tg_table_list *list, tg_str schema, tg_str name)
{
    const struct tg_table *known = tg_table_find(list, schema, name);

    if (known != NULL) {
        return *known;
    }
    return (struct tg_table){
        .schema = schema, .name = name, .pk = usual_pk, .n_pk = TG_ARRAY_LEN(usual_pk)};
}
