-- Realtime reads what is in this publication.
create publication supabase_realtime for table
  public.trips, public.trip_members, public.trip_chat_messages,
  public.broadcasts, public.tasks, public.events, public.type_samples;
