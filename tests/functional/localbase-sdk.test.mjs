// Unmodified supabase-js, pointed at the local stack itself.
import { useLocalbase } from './lib/localbase.mjs';
import { defineSupabaseSuite } from './lib/supabase-suite.mjs';

const stack = useLocalbase();
defineSupabaseSuite({ name: 'the local stack', getUrl: () => stack.url, getStack: () => stack });
