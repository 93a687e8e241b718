// Unmodified supabase-js, pointed at the gateway: the suite that passes without it.
import { inFrontOf, useGateway } from './lib/gateway.mjs';
import { useLocalbase } from './lib/localbase.mjs';
import { defineSupabaseSuite } from './lib/supabase-suite.mjs';

const stack = useLocalbase();
const gateway = useGateway(async () => {
  await stack.ready;
  return inFrontOf(stack);
});
defineSupabaseSuite({ name: 'the gateway', getUrl: () => gateway.url, getStack: () => stack });
